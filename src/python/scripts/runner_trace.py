"""Shows an exception: the frames of the project with their lines, runs of others as one line each, causes kept."""

import os
import sys

OWN = os.path.dirname(os.path.abspath(__file__))
MAX_FRAMES = 40


def last_line(error):
    name = type(error).__qualname__
    if type(error).__module__ not in ("builtins", "__main__"):
        name = f"{type(error).__module__}.{name}"
    try:
        text = str(error)
    except Exception:
        text = "<its text cannot be made>"
    return f"{name}: {text}" if text else name


def show(error, root):
    try:
        text = "\n".join(lines(error, root, set()))
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass


def lines(error, root, seen):
    seen.add(id(error))
    shown = []
    cause, context = error.__cause__, error.__context__
    if cause is not None and id(cause) not in seen:
        shown += [*lines(cause, root, seen), "", "The above exception was the direct cause of the following exception:", ""]
    elif context is not None and not error.__suppress_context__ and id(context) not in seen:
        shown += [*lines(context, root, seen), "", "During handling of the above exception, another exception occurred:", ""]
    shown.append("Traceback (most recent call last):")
    shown += frames(error.__traceback__, root)
    if isinstance(error, SyntaxError):
        import traceback

        shown += [line.rstrip("\n") for line in traceback.format_exception_only(type(error), error)]
        return shown
    shown.append(last_line(error))
    shown += [str(note) for note in getattr(error, "__notes__", [])]
    for inner in getattr(error, "exceptions", []):
        shown += ["  | " + line for line in lines(inner, root, seen)]
    return shown


def frames(trace, root):
    import linecache

    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append((code.co_filename, trace.tb_lineno, code.co_name, trace.tb_frame.f_globals.get("__name__", "")))
        trace = trace.tb_next
    found = [frame for frame in found if os.path.dirname(frame[0]) != OWN and not frame[0].startswith("<frozen importlib")
             and frame[3] != "importlib" and frame[0] != "<string>"]
    shown, others = [], []

    def close():
        if others:
            tops = []
            for frame in others:
                top = (frame[3] or frame[0]).partition(".")[0]
                if top not in tops:
                    tops.append(top)
            many = "frame" if len(others) == 1 else "frames"
            shown.append(f"  ... {len(others)} {many} in {', '.join(tops)}")
            others.clear()

    for frame in found:
        path, number, name, _ = frame
        if not path.startswith(root.rstrip("/") + "/") or "/site-packages/" in path or "/dist-packages/" in path:
            others.append(frame)
            continue
        close()
        shown.append(f'  File "{path}", line {number}, in {name}')
        line = linecache.getline(path, number).strip()
        if line:
            shown.append(f"    {line}")
    close()
    if len(shown) > MAX_FRAMES:
        half = MAX_FRAMES // 2
        shown[half:-half] = [f"  ... {len(shown) - 2 * half} lines left out"]
    return shown
