"""Looks for servers with WS-Discovery as Windows does, without using any code of the server.

discovery.py ADDRESS probe TYPES     prints the addresses (urn:uuid:...) of the devices that answer from the local network
discovery.py ADDRESS computer        prints what the device of the first answer says of its computer
discovery.py ADDRESS mdns SERVER     prints the number of answers to a question by mDNS that is sent to the server itself
discovery.py ADDRESS listen          prints the actions of messages to the group, until Bye
"""

import http.client
import re
import socket
import struct
import sys
import time
import xml.etree.ElementTree as ET

GROUP = ("239.255.255.250", 3702)
GROUP_V6 = ("ff02::c", 3702)
DEADLINE = 30
NAMESPACES = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "d": "http://schemas.xmlsoap.org/ws/2005/04/discovery",
    "p": "http://schemas.xmlsoap.org/ws/2006/02/devprof",
    "c": "http://schemas.microsoft.com/windows/pub/2005/07",
}
DISCOVERY = NAMESPACES["d"]
ALL = "urn:schemas-xmlsoap-org:ws:2005:04:discovery"


def message(action, to, body):
    spaces = " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in NAMESPACES.items())
    return (
        f'<?xml version="1.0" encoding="utf-8"?><s:Envelope {spaces}><s:Header><a:To>{to}</a:To>'
        f"<a:Action>{action}</a:Action><a:MessageID>urn:uuid:11111111-0000-4000-8000-000000000000</a:MessageID>"
        f"</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def socket_at(address):
    """A socket for questions from an address, which is followed by % and an interface if it is of IPv6."""
    host, _, interface = address.partition("%")
    if ":" not in host:
        asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
    else:
        asker = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        if interface:
            index = socket.if_nametoindex(interface)
            asker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    asker.bind((host, 0))
    asker.settimeout(1)
    return asker


def ask(address, action, body, deadline=DEADLINE):
    """The answers to a question to the group. It is repeated, because UDP may lose it."""
    with socket_at(address) as asker:
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            asker.sendto(message(action, ALL, body), GROUP_V6 if ":" in address else GROUP)
            try:
                yield ET.fromstring(asker.recvfrom(65536)[0])
            except TimeoutError:
                pass


def mdns(address, server, deadline=DEADLINE):
    """Asks the server itself by mDNS for servers of files. Returns the number of answers in its message."""
    name = b"".join(bytes([len(label)]) + label for label in [b"_smb", b"_tcp", b"local", b""])
    question = struct.pack(">6H", 7, 0, 1, 0, 0, 0) + name + struct.pack(">2H", 12, 1)
    with socket_at(address) as asker:
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            asker.sendto(question, (server, 5353))
            try:
                return struct.unpack_from(">6H", asker.recvfrom(65536)[0])[3]
            except TimeoutError:
                pass
    return "nobody"


def probe(address, types, deadline=DEADLINE):
    answers = ask(address, f"{DISCOVERY}/Probe", f"<d:Probe><d:Types>{types}</d:Types></d:Probe>", deadline)
    for answer in answers:
        yield answer.find(".//d:ProbeMatch/a:EndpointReference/a:Address", NAMESPACES).text


def computer(address):
    device = next(probe(address, "p:Device"))
    body = f"<d:Resolve><a:EndpointReference><a:Address>{device}</a:Address></a:EndpointReference></d:Resolve>"
    answer = next(ask(address, f"{DISCOVERY}/Resolve", body))
    place = answer.find(".//d:XAddrs", NAMESPACES).text
    host, port, path = re.fullmatch(r"http://(\[[^]]+\]|[^:/]+):(\d+)(/.*)", place).groups()
    interface = "".join(address.partition("%")[1:])
    connection = http.client.HTTPConnection(host.strip("[]") + interface, int(port), timeout=DEADLINE)
    request = message("http://schemas.xmlsoap.org/ws/2004/09/transfer/Get", device, "")
    connection.request("POST", path, request, {"Content-Type": "application/soap+xml"})
    response = connection.getresponse()
    assert response.status == 200, response.status
    return ET.fromstring(response.read()).find(".//c:Computer", NAMESPACES).text


def listen(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(GROUP)
        join = struct.pack("4s4s", socket.inet_aton(GROUP[0]), socket.inet_aton(address))
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, join)
        listener.settimeout(4 * DEADLINE)
        print("listening", flush=True)
        while True:
            action = ET.fromstring(listener.recvfrom(65536)[0]).find(".//a:Action", NAMESPACES).text
            print(action.rsplit("/", 1)[1], flush=True)
            if action.endswith("/Bye"):
                return


def main():
    _, address, command, *rest = sys.argv
    if command == "probe":
        print(next(probe(address, rest[0], float(rest[1]) if rest[1:] else DEADLINE), "nobody"))
    elif command == "mdns":
        print(mdns(address, rest[0], float(rest[1]) if rest[1:] else DEADLINE))
    elif command == "computer":
        print(computer(address))
    else:
        listen(address)


main()
