"""What a job looks like right now, for pages and for the terminal: read from the scheduler, or from the record once it
has ended, and sent as differences."""

from transfers.live.picture import NodePicture, Picture, read_picture

__all__ = ["NodePicture", "Picture", "read_picture"]
