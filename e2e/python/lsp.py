"""Language servers: start, open, symbols of a document and of the project, completions, close, stop, errors."""
from both_forms import error_of, of, play
from daytona import LspCompletionPosition

PYTHON = b"class Answer:\n    def give(self):\n        return 42\n\n\nAnswer().gi\n"
TYPESCRIPT = b"class Answer {\n  give(): number { return 42; }\n}\nnew Answer().gi\n"


async def scene(sandbox):
    home, seen = await of(sandbox.get_user_home_dir()), {}
    for language, file, text, position in (("python", "a.py", PYTHON, (5, 11)), ("typescript", "a.ts", TYPESCRIPT, (3, 15))):
        root = f"{home}/{language}"
        await of(sandbox.fs.upload_file(text, f"{root}/{file}"))
        server = sandbox.create_lsp_server(language, root)
        server = await of(server)
        seen[language] = here = {}
        here["early"] = await error_of(lambda: server.document_symbols(f"{root}/{file}"))
        await of(server.start())
        await of(server.did_open(f"{root}/{file}"))
        here["document"] = sorted({symbol.name for symbol in await of(server.document_symbols(f"{root}/{file}"))})
        found = await of(server.sandbox_symbols("Answer"))
        here["project"] = [[symbol.name, symbol.location.uri.split("/")[-1]] for symbol in found]
        items = (await of(server.completions(f"{root}/{file}", LspCompletionPosition(line=position[0], character=position[1])))).items
        here["completes"] = "give" in [item.label for item in items]
        start = await of(server.completions(f"{root}/{file}", LspCompletionPosition(line=0, character=0)))
        here["at_the_start"] = len(start.items) > 0
        await of(server.did_close(f"{root}/{file}"))
        await of(server.stop())
        here["late"] = await error_of(lambda: server.document_symbols(f"{root}/{file}"))
    return seen


play(scene)
