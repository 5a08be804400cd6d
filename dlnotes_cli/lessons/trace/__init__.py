"""`trace`: numbers followed through a network forward and back, and every gate of a recurrent cell."""
