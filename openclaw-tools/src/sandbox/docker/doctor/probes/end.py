def said(group, name, run):
    line = dict(group=group, probe=name)
    try:
        held, seen = run()
        return dict(line, held=bool(held), seen=seen)
    except Skip as skip:
        return dict(line, skipped=str(skip))
    except Exception as error:
        return dict(line, held=False, seen="%s: %s" % (type(error).__name__, error))

for group, name, run, quick, gvisor in probes:
    # Under gVisor a kernel of its own answers these, and what it allows reaches no host.
    if (about["quick"] and not quick) or (about["gvisor"] and not gvisor):
        continue
    print(json.dumps(said(group, name, run)), flush=True)
