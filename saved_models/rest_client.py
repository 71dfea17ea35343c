"""A client of TensorFlow Serving's REST interface."""

import base64
from collections.abc import Sequence
from typing import Any

import requests

from saved_models.server import (
    SIGNATURE,
    TIMEOUT,
    Client,
    ServerError,
    UnavailableError,
    expected_structure,
    repeated,
)

BUSY = (408, 429)  # HTTP status codes after which to repeat a request, as after 500 and above


class RestClient(Client):
    """A model on TensorFlow Serving, through its REST interface. Arguments: see `Client`."""

    def __post_init__(self):
        part = f"/labels/{self.label}" if self.label else ""
        if self.version is not None:
            part = f"/versions/{self.version}"
        self.url = f"{self.address.rstrip('/')}/v1/models/{self.model}{part}"
        self.session = requests.Session()
        self.session.mount(self.url, requests.adapters.HTTPAdapter(pool_maxsize=64))

    def status(self) -> dict[int, str]:
        response = self._call("GET", "")
        with expected_structure():
            return {int(s["version"]): s["state"] for s in response["model_version_status"]}

    def signature(self) -> tuple[set[str], set[str]]:
        response = self._call("GET", "/metadata")
        with expected_structure():
            signatures = response["metadata"]["signature_def"]["signature_def"]
            if SIGNATURE not in dict(signatures):
                return set(), set()
            return set(signatures[SIGNATURE]["inputs"]), set(signatures[SIGNATURE]["outputs"])

    def class_names(self) -> list[str]:
        request = {"signature_name": "metadata", "inputs": {"query": [""]}}
        response = self._call("POST", ":predict", request)
        with expected_structure():
            return response["outputs"]["class_names"][0]

    def predict(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        rows = [{"image_bytes": {"b64": base64.b64encode(data).decode()}} for data in images]
        request = {"signature_name": SIGNATURE, "instances": rows}
        response = self._call("POST", ":predict", request)
        with expected_structure():
            return [
                {name: _decoded(name, value) for name, value in prediction.items()}
                for _, prediction in zip(images, response["predictions"], strict=True)
            ]

    def _call(self, method, verb, body=None):
        return repeated(lambda: self._request(method, self.url + verb, body), self.retry_seconds)

    def _request(self, method, url, body):
        try:
            response = self.session.request(method, url, json=body, timeout=TIMEOUT)
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            raise UnavailableError(f"{url}: {error}") from error
        except requests.RequestException as error:  # such as an invalid address
            raise ServerError(f"{url}: {error}") from error
        if not response.ok:
            temporary = response.status_code >= 500 or response.status_code in BUSY
            kind = UnavailableError if temporary else ServerError
            raise kind(f"{_reason(response)} (HTTP status {response.status_code})")
        with expected_structure():
            return response.json()


def _decoded(name, value):
    return base64.b64decode(value["b64"], validate=True) if name.endswith("_bytes") else value


def _reason(response):
    """Returns the error that the server states. A proxy may respond with HTML instead."""
    try:
        return response.json()["error"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return response.reason
