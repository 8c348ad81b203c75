"""What one does with a running stack, through its addresses only."""
