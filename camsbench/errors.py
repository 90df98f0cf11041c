"""The one exception that the command line answers with its message alone."""


class CamsbenchError(Exception):
    """Something the user can mend: the message is one sentence that names the option or file and the remedy."""
