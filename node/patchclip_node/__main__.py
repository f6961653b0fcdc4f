"""`python -m patchclip_node` is `patchclip-node`."""

from patchclip_node.cli import main

if __name__ == "__main__":
    main()
