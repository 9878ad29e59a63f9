"""What is assumed of the equipment, the label that every key carries."""

from enum import Enum


class SecurityModel(Enum):
    """What is assumed of the equipment; the key carries this label wherever it goes.

    Examples:
        >>> SecurityModel("device-independent").name
        'DEVICE_INDEPENDENT'
    """

    TRUSTED_ANALYSERS = "trusted-analysers"
    DEVICE_INDEPENDENT = "device-independent"
