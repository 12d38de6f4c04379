"""The pages of one organization, and the list of them."""
