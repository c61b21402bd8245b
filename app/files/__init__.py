"""Files: taken in as a stream, kept in a store, counted against a quota, handed out so that none can do harm."""
