"""Types into an interactive shell and prints the command lines that completion makes of it.

drive.py SHELL SCRIPT LINE...: SHELL evaluates SCRIPT first. Each LINE is typed, then the tab key; what the line is
then is printed between brackets.
"""
import fcntl, os, pty, re, select, struct, sys, termios, time

shell, script, lines = sys.argv[1], os.path.abspath(sys.argv[2]), sys.argv[3:]
command = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "--interactive"],
}[shell]
begin = {
    "bash": f"PS1='> '; source {script}",
    "zsh": f"PS1='> '; bindkey -e; autoload -Uz compinit; compinit -u -D; source {script}",
    "fish": f"function fish_prompt; echo '> '; end; source {script}",
}[shell]

pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(TERM="dumb" if shell != "fish" else "xterm", LC_ALL="C.UTF-8")
    os.execvp(command[0], command)

# Wide enough for every line: a shell that breaks one moves the cursor about.
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 400, 0, 0))


def read_until(found, limit=60.0):
    """Reads until `found` says so of all that came; questions of the shell to its terminal are answered."""
    text, end = "", time.time() + limit
    while not found(text):
        if time.time() > end:
            sys.exit(f"{shell}: in vain after {text!r}")
        if select.select([terminal], [], [], 0.05)[0]:
            piece = os.read(terminal, 65536).decode("utf-8", "replace")
            text += piece
            if "\x1b[c" in piece or "\x1b[0c" in piece:
                os.write(terminal, b"\x1b[?62;c")
            if "\x1b[6n" in piece:
                os.write(terminal, b"\x1b[1;1R")
    return text


def quiet(seconds):
    """What comes until nothing has come for a while."""
    text = ""
    while select.select([terminal], [], [], seconds)[0]:
        text += os.read(terminal, 65536).decode("utf-8", "replace")
    return text


def send(text):
    os.write(terminal, text.encode())


read_until(lambda text: len(text) > 0)
quiet(0.3)
send(begin + "; echo rea''dy\n")
read_until(lambda text: "ready" in text)
quiet(0.3)
for number, line in enumerate(lines):
    send(line + "\t")
    # A shell takes its time to ask; only what it then makes of the line counts.
    read_until(lambda text: len(text) > 0)
    quiet(0.7)
    # The line becomes an argument of a command that prints it: to its beginning, the command, to its end, the quote.
    send(f"\x01printf '[%s]end{number}\\n' '\x05'\n")
    plain = lambda text: re.sub(r"\x1b(\[[0-9;?>=]*[a-zA-Z]|\([A-Z]|\][^\x07]*\x07|.)", "", text)
    printed = lambda text: re.findall(rf"(?:^|\r)\[(.*)\]end{number}\r?$", plain(text), re.MULTILINE)
    print(f"[{printed(read_until(printed))[-1]}]")
send("exit\n")
