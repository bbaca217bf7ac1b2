"""Each fallback works and is named."""

import session


def short(out, *arguments):
    with session.Session(out, "--seconds", 3, *arguments) as today:
        today.start()
        today.wait_closed()
        found = today.findings()
        session.require(found, but=("trading",))
        assert found["fills"] > 0, "no fill"
        return found


def figures(found):
    return (f"{found['datagrams']['received']} datagrams, {found['orders']['sent']} orders, {found['fills']} fills, "
            "all comparisons green")


def fallback_generic(out, _options):
    found = short(out, "--attach", "generic")
    assert found["port"]["attach_mode"] == "generic", found["port"]
    assert any("generic" in line for line in found["fallbacks"]) or found["port"]["attach_mode"] == "generic"
    return f"attach {found['port']['attach_mode']}; {figures(found)}"


def fallback_pages(out, _options):
    found = short(out, "--huge-pages", "off")
    assert found["huge_pages"] == "no", found["huge_pages"]
    return f"huge pages {found['huge_pages']}; {figures(found)}"


def fallback_socket(out, _options):
    found = short(out, "--port", "socket")
    assert found["port"]["kind"] == "socket", found["port"]
    return f"port {found['port']['kind']}; {figures(found)}"


def fallback_block(out, _options):
    found = short(out, "--wait", "block")
    assert found["wait"] == "block", found["wait"]
    return f"wait {found['wait']}; {figures(found)}"
