"""What one does to a running stack, through its addresses only."""
