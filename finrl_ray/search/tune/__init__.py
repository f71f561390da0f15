"""What is handed to Ray Tune: search algorithm, scheduler, callbacks, stopper."""
