"""Sources to documents: a folder or a file in, documents and the problems found on the way out.

    contents = read_source(Path("kb"))      # blocking: call it in a thread
    contents.documents, contents.problems

Nothing here raises for a bad file or row: it is named in `problems` and the rest goes in. Only a source
that is not there, or cannot be one, raises SourceError.
"""

from knowledge.documents.conversion import Converter
from knowledge.documents.files import SourceContents, read_source, read_sources

__all__ = ["Converter", "SourceContents", "read_source", "read_sources"]
