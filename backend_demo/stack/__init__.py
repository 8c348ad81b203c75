"""The services and servers of one state directory, up and down."""
