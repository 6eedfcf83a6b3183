"""Students and their attempts at chapters."""
