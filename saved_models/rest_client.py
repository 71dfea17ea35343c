"""A model behind TensorFlow Serving's REST interface."""

import base64

import requests
from urllib3.util import Retry

SIGNATURE = "serving_default"
TIMEOUT = 60.0  # seconds a request
BUSY = (429, 502, 503, 504)  # HTTP codes after which another try makes sense


class ServerError(Exception):
    """The server refused a request or couldn't be reached; says why."""


class RestClient:
    """A model behind TensorFlow Serving's REST interface.

    Args:
        address: such as `http://localhost:8501`.
        model: the model's name.
        version: a version's number; the served one by default.
        label: a version's label, such as `canary`, instead of a number.
        retries: how often to try again where the server is busy or away.
    """

    def __init__(self, address, model, version=None, label=None, retries=3):
        part = (
            f"/versions/{version}" if version is not None else f"/labels/{label}" if label else ""
        )
        self.url = f"{address.rstrip('/')}/v1/models/{model}{part}"
        self.session = requests.Session()
        retry = Retry(retries, backoff_factor=0.2, status_forcelist=BUSY, allowed_methods=None)
        adapter = requests.adapters.HTTPAdapter(max_retries=retry, pool_maxsize=64)
        self.session.mount(self.url, adapter)

    def status(self):
        """Returns the states of the model's versions, a dict from number to name."""
        return {
            int(status["version"]): status["state"]
            for status in self._call("GET", "")["model_version_status"]
        }

    def signature(self):
        """Returns the names of inputs and of outputs of the signature for encoded images."""
        signatures = self._call("GET", "/metadata")["metadata"]["signature_def"]["signature_def"]
        return set(signatures[SIGNATURE]["inputs"]), set(signatures[SIGNATURE]["outputs"])

    def class_names(self):
        """Returns the names of the classes."""
        request = {"signature_name": "metadata", "inputs": {"query": [""]}}
        return self._call("POST", ":predict", request)["outputs"]["class_names"][0]

    def predict(self, images):
        """Sends encoded images in one request; returns a dict of outputs for each."""
        rows = [{"image_bytes": {"b64": base64.b64encode(data).decode()}} for data in images]
        request = {"signature_name": SIGNATURE, "instances": rows}
        answers = self._call("POST", ":predict", request)["predictions"]
        for answer in answers:
            for name in answer:
                if name.endswith("_bytes"):
                    answer[name] = base64.b64decode(answer[name]["b64"])
        return answers

    def _call(self, method, verb, body=None):
        try:
            response = self.session.request(method, self.url + verb, json=body, timeout=TIMEOUT)
            answer = response.json()
        except (requests.RequestException, ValueError) as error:
            raise ServerError(f"{self.url + verb}: {error}") from error
        if not response.ok:
            raise ServerError(answer.get("error", response.reason))
        return answer
