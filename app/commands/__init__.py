"""One module a command; `app.cli` names them and loads only the one that is called."""
