from .hashing import amplify as amplify
from .hashing import modified_toeplitz_hash as modified_toeplitz_hash
from .hashing import toeplitz_hash as toeplitz_hash
