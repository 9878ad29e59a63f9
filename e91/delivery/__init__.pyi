from .certificates import AuthorityPlan as AuthorityPlan
from .certificates import IssuedCertificate as IssuedCertificate
from .certificates import KmePlace as KmePlace
from .certificates import SaePlace as SaePlace
from .certificates import new_authority as new_authority
from .certificates import renew as renew
from .certificates import revoke as revoke
