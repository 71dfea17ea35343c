"""Uploads of models to the Hugging Face Hub, with errors as sentences."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_encnet.utils.packages import import_optional

PREFIX = "hf://"


class HubError(OSError):
    """The hub cannot be reached, or refuses a request."""


def repository_of(target: str) -> str | None:
    """Returns `user/name` of a target such as `hf://user/name`, or None for a local path.

    Raises:
        ValueError: if it starts like one of the hub but is none.
    """
    if not re.match(r"hf:/", target, re.IGNORECASE):
        return None
    found = re.fullmatch(r"hf://([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)", target)
    if not found or re.search(r"--|\.\.|\.git$", target) or len(found[1]) > 96:
        raise ValueError(
            "A repository of the hub is `hf://user/name`: letters, digits, '-', '_' and '.', at "
            f"most 96 characters, without '--' and '..'. Received: target={target!r}"
        )
    return found[1]


class Hub:
    """An account of the hub.

    Args:
        repository: `user/name`, named in errors.

    Raises:
        HubError: if there is no valid token, or the hub cannot be reached.
        MissingPackageError: if `huggingface_hub` is not installed.
    """

    def __init__(self, repository: str):
        self.repository = repository
        self.library = import_optional("huggingface_hub", "huggingface_hub", "`hf://`")
        self.errors = import_optional("huggingface_hub.errors", "huggingface_hub", "`hf://`")
        self.api: Any = self.library.HfApi(library_name="keras")
        with self._sentences():
            self.user = self.api.whoami()["name"]

    def upload(self, folder: Path, message: str, private: bool = False) -> str:
        """Uploads the files of a folder in one commit, and returns its address.

        Args:
            folder: the folder, with a model card. Other files of the repository are kept.
            message: of the commit.
            private: whether a repository that does not exist yet becomes private.

        Raises:
            HubError: if the hub refuses the card, the repository or the files, or cannot be
                reached.
        """
        with self._sentences():
            # First, since a refused card would leave an empty repository.
            self.library.ModelCard((folder / "README.md").read_text()).validate()
            self.api.create_repo(self.repository, private=private, exist_ok=True)
            commit = self.api.upload_folder(
                repo_id=self.repository, folder_path=folder, commit_message=message
            )
        return commit.commit_url

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        received = f"Received: repository={self.repository!r}"
        try:
            yield
        except self.errors.LocalTokenNotFoundError as error:
            raise HubError(
                "The hub requires a token with write access: run `hf auth login`, or set the "
                f"variable HF_TOKEN. {received}"
            ) from error
        except self.errors.HfHubHTTPError as error:
            status = error.response.status_code
            reason = error.server_message or f"HTTP status {status}"
            raise HubError(f"{_refusal(status)} ({reason.rstrip('.')}). {received}") from error
        except ValueError as error:  # of the metadata of the card
            raise HubError(
                f"The hub refuses the model card; see `--license`: {_line(error)}. {received}"
            ) from error
        except Exception as error:  # connections fail with the classes of several libraries
            raise HubError(
                f"The upload to {self.api.endpoint} failed: {_line(error)}. Check the connection "
                f"and run the same command again. {received}"
            ) from error


def _line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split()).rstrip(".")


def _refusal(status: int) -> str:
    if status == 401:
        return "The hub does not accept the token: run `hf auth login`, or change HF_TOKEN"
    if status == 403:
        return "The token has no write access to this repository: use one of its owner"
    if status == 404:
        return "The repository does not exist, or the token does not give access to it"
    return "The hub refused the request"
