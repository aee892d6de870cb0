import sys

from mailward.fencing.node.cli import main

sys.exit(main())
