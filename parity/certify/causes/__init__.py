"""Why a gate fails: the mistakes that porters make in training, tried on the reference's side."""
