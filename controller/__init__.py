"""The controller: the pure core, the loop around it, the executor, and the store it agrees in."""
