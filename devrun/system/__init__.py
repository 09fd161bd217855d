"""The only room that touches the machine; a file per OS beside the portable one."""
