"""A mail server with encryption that takes one mail. Arguments: `tls` or `starttls`, a file with certificate and key.

It prints its port, then what it was told, and what became of the encryption.
"""
import socket
import ssl
import sys

mode, certificate = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate)
listener = socket.create_server(("127.0.0.1", 0))
listener.settimeout(60)
print(listener.getsockname()[1], flush=True)


def talk(stream, is_encrypted):
    lines = stream.makefile("rb")
    if mode == "tls" or not is_encrypted:
        stream.sendall(b"220 ready\r\n")
    in_mail = False
    for line in lines:
        line = line.decode().rstrip("\r\n")
        print(("encrypted " if is_encrypted else "plain ") + line, flush=True)
        verb = line.split(" ")[0].upper()
        if in_mail:
            in_mail = line != "."
            if in_mail:
                continue
            stream.sendall(b"250 taken\r\n")
        elif verb == "EHLO" and not is_encrypted:
            stream.sendall(b"250-here\r\n250 STARTTLS\r\n")
        elif verb == "EHLO":
            stream.sendall(b"250-here\r\n250 AUTH PLAIN\r\n")
        elif verb == "STARTTLS":
            stream.sendall(b"220 go on\r\n")
            return talk(context.wrap_socket(stream, server_side=True), True)
        elif verb == "AUTH":
            stream.sendall(b"235 welcome\r\n")
        elif verb == "DATA":
            in_mail = True
            stream.sendall(b"354 go on\r\n")
        elif verb == "QUIT":
            stream.sendall(b"221 bye\r\n")
            return
        else:
            stream.sendall(b"250 fine\r\n")


connection, _ = listener.accept()
connection.settimeout(60)
try:
    if mode == "tls":
        talk(context.wrap_socket(connection, server_side=True), True)
    else:
        talk(connection, False)
except (ssl.SSLError, OSError) as error:
    print(f"refused {error}", flush=True)
