"""What the API says of itself, made of the viewsets' tables and their serializers.

`generator` makes the Swagger 2.0 document that Swagger UI shows, `inspectors` its schemas, and
`openapi3` turns it into an OpenAPI 3.1 document: there is one set of annotations.
"""

from mlops_platform.api.schema.texts import AMBIGUOUS as AMBIGUOUS
from mlops_platform.api.schema.texts import INFO as INFO
from mlops_platform.api.schema.texts import TAGS as TAGS
from mlops_platform.api.schema.texts import Doc as Doc
from mlops_platform.api.schema.texts import error as error
from mlops_platform.api.schema.texts import not_there as not_there
from mlops_platform.api.schema.texts import parameter as parameter
