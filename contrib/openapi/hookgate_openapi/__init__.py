"""OpenAPI descriptions (Swagger 2.0, OpenAPI 3.0 to 3.2) made into a document of the gateway and a contract beside it.

The contract is an OpenAPI 3.1 document again, in one spelling: no references outside of schemas, every schema in JSON
Schema 2020-12, so that steps which check and mock need to know one form only.
"""

from hookgate_openapi.description import Description, read
from hookgate_openapi.importing import Imported, Wishes, described
from hookgate_openapi.writing import document_text, write_whole

__all__ = ["Description", "Imported", "Wishes", "described", "document_text", "read", "write_whole"]
