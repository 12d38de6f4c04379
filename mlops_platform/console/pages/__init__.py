"""The data of each page: a frozen dataclass, and the function that makes it."""
