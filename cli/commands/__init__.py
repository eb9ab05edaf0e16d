"""The commands of heddle, one file per kind of object; each file registers its own on the app it is given."""
