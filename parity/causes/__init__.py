"""Why a layer differs: settings read off both."""
