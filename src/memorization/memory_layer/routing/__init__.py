"""Which slots of a memory are retrieved where: by token, position and head, how alike for like inputs."""
