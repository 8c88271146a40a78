//! What is kept under the home folder: the database, the store of files, the memo, the history, and their locks.
//!
//! | module | owns |
//! |---|---|
//! | [`store`] | files by content, stat cache, staging, publishing |
//! | [`memo`] | the cache key, the table of results, the nearest earlier one |
//! | [`history`] | runs, what they were asked for, and their events |
//! | [`contents`] | which node made or used a content: an index |
//! | [`home`] | the home folder and the locks of live runs |
//! | [`locks`] | locks of identical work |
//! | [`db`] | the database file: opening, schema versions, damage |
//! | [`db_stamp`] | whether the database may have changed, without opening it |
//! | [`damage`] | which errors of SQLite mean damage |
//! | `file_locks` | whether the file system of the home has locks |
//! | [`recovery`] | runs and results restored after the database was lost |
//! | [`serve_files`] | token, sessions and address of the daemon |
//! | [`own_file`], [`own_folder`], `removal` | opening and removing files and folders of the home: no links, no waiting |
//! | [`jobs`] | jobs of batch systems, from before their submission until nobody needs them |
//! | [`outbox`] | messages on their way, and what became of them |
//! | [`publish`] | outputs put at paths of the user, and the record of what was published |
//! | [`upload_queue`] | results on their way to a shared cache |
//! | [`user_file`] | writing a file that a user names, whatever stands there |
//! | [`writer`] | the one writer: group commit of blobs, rows and events |
//! | [`receipts`] | what a run that only hit relied on and handed back |
//! | [`remote`] | the shared cache: entries, where they are kept, results in and out |
//! | [`schedules`] | schedules that the home knows, claims of their instants, what became of them |
//! | [`gc`] | what is kept, what goes, and removing it safely beside runs |

pub mod contents;
pub mod damage;
pub mod db;
pub mod db_stamp;
mod file_locks;
pub mod gc;
pub mod history;
pub mod home;
pub mod jobs;
pub mod locks;
pub mod memo;
pub mod outbox;
pub mod own_file;
pub mod own_folder;
pub mod publish;
pub mod receipts;
pub mod recovery;
pub mod refusals;
pub mod remote;
mod removal;
pub mod schedules;
pub mod serve_files;
pub mod store;
pub mod upload_queue;
pub mod user_file;
pub mod writer;
