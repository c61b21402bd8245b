"""What a person does with `make run`, from outside: over HTTP, and with kill -9."""
