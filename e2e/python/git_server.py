"""A git HTTP server with Basic authentication, run inside a sandbox: git's own http-backend behind Python."""
import base64
import http.server
import os
import subprocess

WANTED = "Basic " + base64.b64encode(b"user:secret").decode()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers["Authorization"] != WANTED:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        length = self.headers["Content-Length"]
        env = dict(
            PATH=os.environ["PATH"], GIT_PROJECT_ROOT="/tmp/git", GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path, QUERY_STRING=query,
            REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers["Content-Type"] or "", GIT_PROTOCOL=self.headers["Git-Protocol"] or "",
            HTTP_CONTENT_ENCODING=self.headers["Content-Encoding"] or "", REMOTE_USER="user", REMOTE_ADDR="127.0.0.1",
            **({"CONTENT_LENGTH": length} if length else {}))
        out = subprocess.run(["git", "http-backend"], input=self.rfile.read(int(length or 0)), env=env, stdout=subprocess.PIPE).stdout
        head, _, body = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 8418), Handler).serve_forever()
