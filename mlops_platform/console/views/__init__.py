"""The views of each page: parse, call one function, answer."""
