"""`python -m patchclip_trainer` is `patchclip-trainer`."""

from patchclip_trainer.cli import main

if __name__ == "__main__":
    main()
