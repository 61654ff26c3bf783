"""Git: init, clone with credentials, change, commit, push, pull, branches, reset, restore, remotes, config, errors."""
import os

from both_forms import error_of, of, play

SERVER = open(os.path.join(os.path.dirname(__file__), "git_server.py"), "rb").read()
URL = "http://localhost:8418/a.git"
START = """cd /tmp/git && git init -q --bare -b main a.git && git -C a.git config http.receivepack true
git init -q -b main w && cd w && git config user.name E && git config user.email e@f && echo hello > README && git add . && git commit -qm first && git push -q ../a.git main && cd ..
(nohup python3 server.py > /dev/null 2>&1 &); for i in $(seq 50); do curl -s -o /dev/null localhost:8418 && break; sleep 0.1; done"""
PUSHED_BY_OTHERS = "echo more >> README && git commit -qam more && git push -q ../a.git main"


async def scene(sandbox):
    git, fs, process, seen = sandbox.git, sandbox.fs, sandbox.process, {}
    await of(fs.upload_file(SERVER, "/tmp/git/server.py"))
    seen["server"] = (await of(process.exec(START))).result
    seen["no_login"] = await error_of(lambda: git.clone(URL, "w"))
    await of(git.clone(URL, "w", username="user", password="secret", depth=1))
    status = await of(git.status("w"))
    seen["status"] = [status.current_branch, status.branch_published, status.ahead, status.behind, status.file_status]
    await of(git.configure_user("Ann", "ann@example.com", scope="local", path="w"))
    seen["config"] = [await of(git.get_config("user.name", scope="local", path="w")), await of(git.get_config("no.such"))]

    await of(git.create_branch("w", "topic"))
    await of(git.checkout_branch("w", "topic"))
    await of(fs.upload_file(b"new", "w/new.txt"))
    seen["untracked"] = [[item.name, item.staging.value, item.worktree.value] for item in (await of(git.status("w"))).file_status]
    await of(git.add("w", ["new.txt"]))
    seen["commit"] = len((await of(git.commit("w", "Add new", "Ann", "ann@example.com"))).sha)
    await of(git.push("w", username="user", password="secret", set_upstream=True))
    seen["pushed"] = (await of(process.exec("git -C /tmp/git/a.git log --format=%s%an topic -1"))).result
    await of(process.exec(PUSHED_BY_OTHERS, cwd="/tmp/git/w"))
    await of(git.checkout_branch("w", "main"))
    await of(git.pull("w", username="user", password="secret"))
    seen["pulled"] = (await of(fs.download_file("w/README"))).decode()
    seen["branches"] = (await of(git.branches("w"))).branches

    await of(fs.upload_file(b"spoilt", "w/README"))
    seen["dirty"] = await error_of(lambda: git.checkout_branch("w", "topic"))
    seen["no_branch"] = await error_of(lambda: git.checkout_branch("w", "nowhere"))
    await of(git.restore("w", ["README"]))
    seen["restored"] = (await of(fs.download_file("w/README"))).decode()
    await of(fs.upload_file(b"spoilt", "w/README"))
    await of(git.reset("w", mode="hard"))
    seen["reset"] = (await of(git.status("w"))).file_status
    await of(git.delete_branch("w", "topic"))
    await of(git.remote_add("w", "second", "http://localhost:1/b.git"))
    seen["remotes"] = [[item.name, item.url] for item in (await of(git.remotes("w"))).remotes]
    seen["remote"] = [await of(git.remote_get("w", "second")), await of(git.remote_get("w", "third"))]
    seen["unreachable"] = await error_of(lambda: git.pull("w", remote="second", branch="main"))
    seen["exists"] = await error_of(lambda: git.create_branch("w", "main"))

    await of(git.init("fresh", initial_branch="trunk"))
    seen["unborn"] = (await of(git.status("fresh"))).current_branch
    seen["no_repository"] = await error_of(lambda: git.status("/tmp"))
    seen["secrets"] = (await of(process.exec("grep -rl secret w fresh ~/.git* 2> /dev/null"))).result
    return seen


play(scene)
