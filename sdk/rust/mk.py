s=open('README.md.in').read(); e=open('examples/directory/src/lib.rs').read()
open('README.md','w').write(s.replace('@@\n',e))
