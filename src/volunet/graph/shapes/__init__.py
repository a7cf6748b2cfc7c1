"""One operator's output size, and the settings that give a wanted one."""
