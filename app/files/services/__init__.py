"""The rules of files."""

from app.files.services.files import FileService
from app.files.services.products import ProductService
from app.files.services.store import blocks_of, key_of
from app.files.services.sweep import SweepService
from app.files.services.uploads import UploadService

__all__ = ["FileService", "ProductService", "SweepService", "UploadService", "blocks_of", "key_of"]
