"""What the runtime package raises, in one sentence that says what to do next."""

from collections.abc import Iterator
from contextlib import contextmanager

NO_ACCOUNT = (
    "An IBM Quantum account must be saved, but there is none: get an API key and an instance at "
    "https://quantum.cloud.ibm.com and save them once with "
    "`QiskitRuntimeService.save_account(token=..., instance=...)`, or set QISKIT_IBM_TOKEN and "
    "QISKIT_IBM_INSTANCE."
)
_REFUSED = (
    "Your IBM Quantum account must be accepted, but is refused (expired or revoked key, or an "
    "instance that is not yours): make a new API key at https://quantum.cloud.ibm.com and save it "
    "with `QiskitRuntimeService.save_account(..., overwrite=True)`."
)
_NO_NETWORK = (
    "IBM Quantum must be reachable, but is not: check the network (and proxy) and try again; jobs "
    "that were submitted go on meanwhile."
)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what the runtime package raises into a ValueError that says what to do next."""
    from qiskit.providers.exceptions import JobError
    from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError
    from qiskit_ibm_runtime.api.exceptions import ApiError
    from qiskit_ibm_runtime.exceptions import (
        IBMError,
        RuntimeInvalidStateError,
        RuntimeJobMaxTimeoutError,
        RuntimeJobNotFound,
    )

    try:
        yield
    except AccountNotFoundError:
        raise ValueError(NO_ACCOUNT) from None
    except RuntimeJobNotFound as error:
        raise ValueError(
            f"A job must be one of this account's, but is not ({_words(error)}): use the account "
            "that submitted it."
        ) from None
    except RuntimeInvalidStateError as error:
        raise ValueError(
            f"A job must run to its end, but was cancelled ({_words(error)}): its rounds are lost; "
            "start again with `e91 run`."
        ) from None
    except (JobError, RuntimeJobMaxTimeoutError) as error:
        raise ValueError(
            f"A job must run to its end, but failed ({_words(error)}): nothing was measured that "
            "counts; start again with `e91 run`."
        ) from None
    except (IBMError, ApiError, OSError) as error:  # requests' errors are OSErrors
        raise ValueError(_cause(error)) from None


def _cause(error: BaseException) -> str:
    """Return the sentence for what lies at the bottom of a chain of errors."""
    from qiskit_ibm_runtime.exceptions import IBMAccountError, IBMNotAuthorizedError

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    names = {kind.__name__ for found in chain for kind in type(found).__mro__}
    codes = {getattr(found, "status_code", getattr(found, "code", None)) for found in chain}
    if codes & {400, 401, 403} or any(isinstance(found, IBMNotAuthorizedError) for found in chain):
        return _REFUSED
    if names & {"ConnectionError", "Timeout", "NewConnectionError", "gaierror"}:
        return _NO_NETWORK
    if any(isinstance(found, IBMAccountError) for found in chain):
        return _REFUSED
    return f"IBM Quantum must take the request, but does not: {_words(error)}"


def _words(error: BaseException) -> str:
    """Return the first line of what an error says, with a full stop."""
    text = (str(getattr(error, "message", "")) or str(error)).strip().splitlines()
    first = text[0].strip().strip("'\"") if text else type(error).__name__
    return first if first.endswith(".") else f"{first}."
