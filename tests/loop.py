"""The loop that tests run on: production's, which can be closed where warnings are errors."""

import warnings

import uvloop


class Loop(uvloop.Loop):
    """Says at its end what was left open.

    uvloop warns of each connection before it closes it; where the warning is raised, the connection stays open, and
    `close` waits for it for ever.
    """

    def close(self) -> None:
        """Close it with all that is open, and warn of that afterwards."""
        with warnings.catch_warnings(record=True) as left:
            warnings.simplefilter("always")
            super().close()
        for one in left:
            warnings.warn(one.message, stacklevel=2, source=one.source)
