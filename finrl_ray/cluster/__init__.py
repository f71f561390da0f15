"""Ray itself: starting it, joining it, leaving it, who may talk to it."""
