"""A stand-in for the API of the Hugging Face Hub, over a real socket.

It was written from the requests of the installed `huggingface_hub`. It stores repositories of
models in memory, with files as regular blobs or, without the transfer protocol Xet, as large files.
"""

import base64
import hashlib
import http.server
import json
import re
import threading

import yaml

TOKEN = "hf_of_the_test"
USER = "street"
LICENSES = ("mit", "cc-by-4.0")  # some of those that the real one knows
LARGE = (".h5", ".keras")  # the files that the real one stores outside git


class HubStandIn:
    """The server; `repositories` holds the files of each repository by path.

    Args:
        large_files: whether weights are uploaded as large files rather than with the commit.
    """

    def __init__(self, large_files=False):
        self.large_files = large_files
        self.repositories, self.objects, self.requests = {}, {}, []
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()


def revision_of(files):
    """Returns the hash of a commit."""
    content = b"".join(path.encode() + data for path, data in sorted(files.items()))
    return hashlib.sha1(content).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubStandIn

    ROUTES = (
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("POST", r"/api/models/(?P<name>[^/]+/[^/]+)/preupload/main", "preupload"),
        ("POST", r"/api/models/(?P<name>[^/]+/[^/]+)/commit/main", "commit"),
        ("GET", r"/api/models/(?P<name>[^/]+/[^/]+)(?:/revision/main)?", "information"),
        ("GET", r"/api/models/(?P<name>[^/]+/[^/]+)/tree/(?P<revision>\w+)(?:/)?", "tree"),
        ("POST", r"/(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/objects/(?P<oid>\w+)", "put_object"),
        ("GET", r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>\w+)/(?P<path>.+)", "file"),
    )

    def respond(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        path = self.path.partition("?")[0]
        self.hub.requests.append(f"{self.command} {path}")
        method = "GET" if self.command == "HEAD" else self.command
        for verb, pattern, name in self.ROUTES:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                return getattr(self, name)(**found.groupdict())
        return self.refuse(404, f"the stand-in does not know {self.command} {path}")

    do_GET = do_HEAD = do_POST = do_PUT = respond  # noqa: N815

    def whoami(self):
        if self.authorized():
            self.send({"type": "user", "name": USER, "orgs": []})

    def create(self):
        if not self.authorized():
            return
        request = json.loads(self.body)
        if request["organization"] not in (USER, None):
            self.refuse(403, "You don't have the rights to create a model under this namespace")
            return
        name = f"{USER}/{request['name']}"
        exists = name in self.hub.repositories
        self.hub.repositories.setdefault(name, {})
        self.send({"url": f"{self.hub.url}/{name}"}, 409 if exists else 200)

    def validate(self):
        content = json.loads(self.body)["content"]
        metadata = yaml.safe_load(content.split("---\n")[1])
        license = metadata.get("license", "mit")
        if license in LICENSES:
            self.send({"warnings": []})
        else:
            self.send({"errors": [{"message": f"license {license!r} is unknown"}]}, 400)

    def preupload(self, name):
        files = json.loads(self.body)["files"]
        modes = {
            f["path"]: "lfs" if self.hub.large_files and f["path"].endswith(LARGE) else "regular"
            for f in files
        }
        rows = [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]
        self.send({"files": rows})

    def commit(self, name):
        if not self.authorized():
            return
        files = self.hub.repositories[name]
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        oid = revision_of(files)
        self.send({"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid})

    def batch(self, name):
        rows = []
        for item in json.loads(self.body)["objects"]:
            action = {"href": f"{self.hub.url}/objects/{item['oid']}"}
            rows.append({**item, "actions": {"upload": action}})
        self.send({"transfer": "basic", "objects": rows})

    def put_object(self, oid):
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.objects[oid] = self.body
        self.send({})

    def information(self, name):
        if name not in self.hub.repositories:
            self.refuse(404, "Repository not found", "RepoNotFound")
            return
        files = self.hub.repositories[name]
        siblings = [{"rfilename": path} for path in files]
        self.send({"id": name, "sha": revision_of(files), "siblings": siblings})

    def tree(self, name, revision):
        files = self.hub.repositories[name]
        self.send(
            [
                {"type": "file", "path": path, "size": len(data), "oid": etag(data)}
                for path, data in files.items()
            ]
        )

    def file(self, name, revision, path):
        data = self.hub.repositories[name][path]
        headers = {"ETag": f'"{etag(data)}"', "X-Repo-Commit": revision}
        self.send_bytes(data, 200, {"Content-Type": "application/octet-stream", **headers})

    def authorized(self):
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self.refuse(401, "Invalid username or password.")
        return False

    def refuse(self, status, message, code=None):
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.send_bytes(json.dumps({"error": message}).encode(), status, headers)

    def send(self, value, status=200):
        self.send_bytes(json.dumps(value).encode(), status, {"Content-Type": "application/json"})

    def send_bytes(self, data, status, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(data)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *unused):
        """Does not write to standard error."""


def etag(data):
    return hashlib.sha1(data).hexdigest()
