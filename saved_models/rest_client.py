"""A client of TensorFlow Serving's REST interface, and the interface of all clients."""

import base64
from collections.abc import Sequence
from typing import Any, Protocol

import requests
from urllib3.util import Retry

SIGNATURE = "serving_default"
TIMEOUT = 60.0  # seconds per request
BUSY = (429, 502, 503, 504)  # HTTP status codes after which to retry


class ServerError(Exception):
    """The server rejected a request or could not be reached."""


class Client(Protocol):
    """A model on TensorFlow Serving. Methods raise `ServerError`."""

    def status(self) -> dict[int, str]:
        """Returns the states of the model's versions by number."""

    def signature(self) -> tuple[set[str], set[str]]:
        """Returns the names of the inputs and outputs of the signature for encoded images."""

    def class_names(self) -> list[str]:
        """Returns the names of the classes."""

    def predict(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        """Sends encoded images in one request and returns a dict of outputs for each."""


class RestClient:
    """A model on TensorFlow Serving, through its REST interface; a `Client`.

    Args:
        address: such as `http://localhost:8501`.
        model: name of the model.
        version: number of the version. Defaults to the version that the server selects.
        label: label of the version, such as `canary`, instead of its number.
        retries: number of retries while the server is busy or unreachable.
    """

    def __init__(
        self,
        address: str,
        model: str,
        version: int | None = None,
        label: str | None = None,
        retries: int = 3,
    ):
        part = (
            f"/versions/{version}" if version is not None else f"/labels/{label}" if label else ""
        )
        self.url = f"{address.rstrip('/')}/v1/models/{model}{part}"
        self.session = requests.Session()
        retry = Retry(retries, backoff_factor=0.2, status_forcelist=BUSY, allowed_methods=None)
        adapter = requests.adapters.HTTPAdapter(max_retries=retry, pool_maxsize=64)
        self.session.mount(self.url, adapter)

    def status(self) -> dict[int, str]:
        """Returns the states of the model's versions by number."""
        return {
            int(status["version"]): status["state"]
            for status in self._call("GET", "")["model_version_status"]
        }

    def signature(self) -> tuple[set[str], set[str]]:
        """Returns the names of the inputs and outputs of the signature for encoded images."""
        signatures = self._call("GET", "/metadata")["metadata"]["signature_def"]["signature_def"]
        return set(signatures[SIGNATURE]["inputs"]), set(signatures[SIGNATURE]["outputs"])

    def class_names(self) -> list[str]:
        """Returns the names of the classes."""
        request = {"signature_name": "metadata", "inputs": {"query": [""]}}
        return self._call("POST", ":predict", request)["outputs"]["class_names"][0]

    def predict(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        """Sends encoded images in one request and returns a dict of outputs for each."""
        rows = [{"image_bytes": {"b64": base64.b64encode(data).decode()}} for data in images]
        request = {"signature_name": SIGNATURE, "instances": rows}
        predictions = self._call("POST", ":predict", request)["predictions"]
        for prediction in predictions:
            for name in prediction:
                if name.endswith("_bytes"):
                    prediction[name] = base64.b64decode(prediction[name]["b64"])
        return predictions

    def _call(self, method, verb, body=None):
        try:
            response = self.session.request(method, self.url + verb, json=body, timeout=TIMEOUT)
            content = response.json()
        except (requests.RequestException, ValueError) as error:
            raise ServerError(f"{self.url + verb}: {error}") from error
        if not response.ok:
            raise ServerError(content.get("error", response.reason))
        return content
