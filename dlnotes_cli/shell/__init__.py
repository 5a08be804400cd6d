"""What every command shares between words and output; standard library only."""
