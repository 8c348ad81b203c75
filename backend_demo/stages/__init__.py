"""The services that a reading passes, one thin shell each, in the order in which it meets them."""
