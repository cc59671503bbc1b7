"""Scratch: which tests give which options and settings other values than their defaults."""
import json, os, time
from pathlib import Path
import click, pytest
import ignoring
from click.core import ParameterSource

LOG = os.environ["RECORD"]
seen=set()
PLACES=[(n,*ignoring.place_of(n)) for n in ignoring.settings()]
from lfads_core.config.schema import RunConfig
DEF={}
def d(cls):
    if cls not in DEF:
        try: DEF[cls]=ignoring.defaults(cls)
        except Exception: DEF[cls]=None
    return DEF[cls]
for _,c,_p in PLACES: d(c)
MISSING=object()
def get(v,path):
    for p in path:
        if v is None: return MISSING
        v=getattr(v,p)
    return v
def look(value):
    for name,cls,path in PLACES:
        if isinstance(value,cls):
            g=get(value,path)
            if g is MISSING: continue
            if DEF[cls] is None or g!=get(DEF[cls],path): seen.add(name)
    return value
before=click.Command.invoke
def invoke(self, ctx):
    for p in self.params:
        if isinstance(p,click.Option) and p.name in ctx.params and ctx.get_parameter_source(p.name)==ParameterSource.COMMANDLINE:
            seen.add(ignoring.called(ctx,p))
    return before(self,ctx)
click.Command.invoke=invoke
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item,nextitem):
    seen.clear(); t=time.time()
    with ignoring.settings_seen(look):
        yield
    with open(LOG,"a") as f: f.write(json.dumps([item.nodeid,round(time.time()-t,2),sorted(seen)])+"\n")
