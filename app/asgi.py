"""What servers import: `uvicorn app.asgi:app`."""

from app.main import create_app
from app.utils.helpers import spare_loaded_objects

app = create_app()
spare_loaded_objects()
