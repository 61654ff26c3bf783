"""The Python SDK's Image over files of this machine and packages that need no index. Prints one JSON object of what the sandboxes have."""
import json
import os
import tempfile
import zipfile

from daytona import CreateSandboxFromImageParams, Daytona, Image, Resources

daytona = Daytona()
seen: dict[str, object] = {}
root = tempfile.mkdtemp()


def write(name, content, mode=0o644):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(content)
    os.chmod(path, mode)
    return path


def wheel(name, version):
    os.makedirs(f"{root}/wheels", exist_ok=True)
    with zipfile.ZipFile(f"{root}/wheels/{name}-{version}-py3-none-any.whl", "w") as archive:
        info = f"{name}-{version}.dist-info"
        archive.writestr(f"{name}.py", f"version = '{version}'\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def use(image, commands):
    logs = []
    sandbox = daytona.create(CreateSandboxFromImageParams(image=image, resources=Resources(cpu=1, memory=1, disk=3)), timeout=300, on_snapshot_create_logs=logs.append)
    try:
        return [sandbox.process.exec(command).result.strip() for command in commands]
    finally:
        sandbox.delete()


for name, version in [("tinya", "1.0"), ("tinyb", "2.0b1"), ("tinyc", "3.0"), ("tinyd", "4.0"), ("tinye", "5.0")]:
    wheel(name, version)
write("tree/run.sh", "#!/bin/sh\necho ran", 0o755)
write("tree/größe.txt", "unicode")
os.makedirs(f"{root}/tree/empty")
os.symlink("run.sh", f"{root}/tree/link")
pyproject = write("pyproject.toml", """[project]
name = "x"
version = "1"
dependencies = ["tinyc==3.0"]
[project.optional-dependencies]
dev = ["tinyd"]
docs = ["tinye"]
""")
offline = {"extra_options": "--no-index"}
image = (
    Image.base("python:3.12-slim")
    .add_local_dir(f"{root}/wheels", "/wheels")
    .pip_install("tinyb", find_links=["/wheels"], pre=True, **offline)
    .pip_install_from_requirements(write("requirements.txt", "tinya>=0.5\n"), find_links=["/wheels"], **offline)
    .pip_install_from_pyproject(pyproject, optional_dependencies=["dev", "absent"], find_links="/wheels", **offline)
    .add_local_dir(f"{root}/tree", "/srv/several words")
    .add_local_file(write("a file with blanks.txt", "blanks"), "/srv/")
    .env({"QUOTED": "it's $HOME \"x\""})
    .workdir("/srv/several words")
    .entrypoint(["/bin/sh", "-c", "echo started > /tmp/entry"])
    .cmd(["ignored"])
)
versions = "import importlib.metadata as m; print([m.version(n) for n in ('tinya', 'tinyb', 'tinyc', 'tinyd')])"
seen["image"] = use(image, [
    f'python3 -c "{versions}"', "python3 -c 'import tinye' 2>&1 | tail -n 1", "pwd; ./run.sh; cat größe.txt; readlink link; ls -d empty", "cat '/srv/a file with blanks.txt'",
    "printenv QUOTED", "for i in $(seq 50); do [ -s /tmp/entry ] && break; sleep 0.1; done; cat /tmp/entry",
])

write("project/app.py", "print('app')")
write("project/data/one.txt", "one")
dockerfile = write("project/Dockerfile", 'FROM python:3.12-slim\nCOPY *.py /app/\nCOPY ["data", "/app/data"]\nCOPY <<EOF /inline\ninline\nEOF\n')
image = Image.from_dockerfile(dockerfile).dockerfile_commands(["COPY one.txt /more/one.txt"], context_dir=f"{root}/project/data", strict_context=True)
seen["dockerfile"] = use(image, ["python3 /app/app.py; cat /app/data/one.txt /inline /more/one.txt"])
print(json.dumps(seen))
