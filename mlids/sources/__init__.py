"""Where logs come from: archives over SFTP or in a folder, and logs that are still growing."""
